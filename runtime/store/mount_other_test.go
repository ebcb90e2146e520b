//go:build !linux

package store

import "errors"

func mountSmall(string, string) error { return errors.ErrUnsupported }

func unmount(string) {}

func freeze(string) error { return errors.ErrUnsupported }
