//go:build tools

// Package tools pins the peer that the bench measures beside watchbell.
package tools

import _ "github.com/prometheus/alertmanager/cmd/alertmanager"
