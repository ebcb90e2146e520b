//go:build !linux || !(amd64 || arm64)

package grade

import "errors"

// sandboxed says why there is no sandbox here.
func sandboxed() error {
	return errors.New("this system has no Landlock and seccomp: run on Linux (amd64 or arm64)")
}

func (sandbox) enter() error { return sandboxed() }
