//go:build tools

// Package tools pins the Go programs that the demo and the tests build when no installed one is found.
package tools

import (
	_ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
	_ "github.com/versity/versitygw/cmd/versitygw"
)
