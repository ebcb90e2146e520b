//go:build cuda && linux && amd64

package driver

// #include <cuda.h>
import "C"

import (
	"unsafe"

	"gorgonia.org/cu"
)

// Graph is work that was put on the stream once and can be launched again and
// again in one call.
type Graph struct{ exec C.CUgraphExec }

// Capture calls f, whose work is not done but kept in a Graph.
func (c *Context) Capture(f func() error) (*Graph, error) {
	stream := C.CUstream(c.Stream())
	if err := result("cuStreamBeginCapture", C.cuStreamBeginCapture(stream, C.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)); err != nil {
		return nil, err
	}
	err := f()
	var g C.CUgraph
	if end := result("cuStreamEndCapture", C.cuStreamEndCapture(stream, &g)); err == nil {
		err = end
	}
	if g != nil {
		defer C.cuGraphDestroy(g)
	}
	if err != nil {
		return nil, err
	}
	var exec C.CUgraphExec
	if err := result("cuGraphInstantiate", C.cuGraphInstantiateWithFlags(&exec, g, 0)); err != nil {
		return nil, err
	}
	return &Graph{exec}, nil
}

// Replay puts the work of g on the stream.
func (c *Context) Replay(g *Graph) error {
	return result("cuGraphLaunch", C.cuGraphLaunch(g.exec, C.CUstream(c.Stream())))
}

// Drop frees a graph.
func (c *Context) Drop(g *Graph) error {
	return result("cuGraphExecDestroy", C.cuGraphExecDestroy(g.exec))
}

// Event is a mark on the stream.
type Event struct{ e cu.Event }

// NewEvent returns an Event that was not recorded yet; waiting for it is no wait.
func (c *Context) NewEvent() (Event, error) {
	e, err := cu.MakeEvent(cu.DefaultEvent)
	return Event{e}, failed("cuEventCreate", err)
}

// Record marks the present end of the stream.
func (c *Context) Record(e Event) error { return failed("cuEventRecord", e.e.Record(c.stream)) }

// Wait waits until the stream is past e.
func (c *Context) Wait(e Event) error { return failed("cuEventSynchronize", e.e.Synchronize()) }

// Elapsed returns the milliseconds from one mark to another that are both past.
func (c *Context) Elapsed(from, to Event) (float64, error) {
	ms, err := from.e.Elapsed(to.e)
	return ms, failed("cuEventElapsedTime", err)
}

// DestroyEvent frees e.
func (c *Context) DestroyEvent(e Event) error {
	return failed("cuEventDestroy", cu.DestroyEvent(&e.e))
}

// handle keeps vet from taking a number of the driver's for a Go pointer.
func handle(f Function) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&f)) }
