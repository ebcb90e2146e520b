package store

import "fmt"

// refuseNetwork is the error about a directory on a network file system, nil if it
// is on none.
func refuseNetwork(dir, name string, remote bool) error {
	if !remote {
		return nil
	}
	return fmt.Errorf("store: %s is on a network file system (%s), where SQLite can lose data: keep it on a local disk", dir, name)
}
