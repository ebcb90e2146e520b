package runtime

import (
	"fmt"
	"runtime/metrics"
	"time"
)

// watchHeap calls cancel once the heap has grown by more than limit bytes
// since it was smallest, or since a step last worked. It is a best effort: it
// looks ten times a second, and garbage counts until it is collected. The
// caller calls stop, which waits for the watcher.
func watchHeap(limit uint64, scripting func() bool, cancel func(reason string)) (stop func()) {
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		base := heapBytes()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			switch now := heapBytes(); {
			case !scripting() || now < base:
				base = now
			case now-base > limit:
				cancel(fmt.Sprintf("the script took more than %d MiB of memory: give the work to a built-in", limit>>20))
				return
			}
		}
	}()
	return func() { close(quit); <-gone }
}

// heapBytes returns the bytes that live and dead objects take up.
func heapBytes() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
