//go:build tools

// Package tools pins the command that hack/controlplane builds.
package tools

import _ "github.com/prometheus/prometheus/cmd/promtool"
