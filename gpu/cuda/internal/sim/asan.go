//go:build asan

package sim

// sanitize makes the fake libraries a part of a program built with go test -asan.
var sanitize = []string{"-fsanitize=address", "-fno-omit-frame-pointer"}
