//go:build tools

// Package tools pins the command that hack/controlplane builds.
package tools

import _ "github.com/zegl/kube-score/cmd/kube-score"
