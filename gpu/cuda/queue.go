//go:build cuda && linux && amd64

package cuda

import (
	"slices"
	"unsafe"

	"starbook/gpu/cuda/internal/driver"
	"starbook/gpu/cuda/internal/libs"
)

// queue holds operations that the driver does not know of yet. What may differ
// from one time to the next, such as token ids or the learning rate, is not in
// the commands but staged: gathered in one area, copied to the device at once,
// and read there by the kernels. A queue with the same commands as an earlier
// one is thus replayed as a graph, in one call.
type queue struct {
	commands []command
	staged   []byte          // contents of the staging area so far
	places   map[slice][]int // where in it a slice of the host's lies
	area     unsafe.Pointer  // on the device
	turn     int             // of the pinned buffers
	pinned   [stages]stage   // the staged bytes on their way
	known    []recording     // the most recently used first
}

const (
	areaSize   = 8 << 20 // bytes; one operation stages half of it at most
	stages     = 3       // staged contents that may be under way
	recordings = 32      // queues that are remembered
)

// command is an operation with everything that a graph of it fixes.
type command struct {
	launch driver.Launch // a kernel, unless Fn is 0
	plan   *libs.Plan    // a product, unless nil
	alpha  float32
	beta   float32
	a, b   unsafe.Pointer // operands of the product; b is the source of a copy
	c      unsafe.Pointer // its result; what is copied to or, without a source, cleared
	bytes  int
}

// recording is a sequence of commands that was seen before.
type recording struct {
	commands []command
	graph    *driver.Graph // from the second time on
}

type stage struct {
	host []byte
	free driver.Event // the device has read it
}

// slice identifies a slice of the host's within one queue.
type slice struct {
	at    unsafe.Pointer
	bytes int
}

func (q *queue) open(d *device) error {
	if q.area = d.room(areaSize); d.err != nil {
		return d.err
	}
	for i := range q.pinned {
		var err error
		if q.pinned[i].host, err = d.ctx.HostAlloc(areaSize); err != nil {
			return err
		}
		if q.pinned[i].free, err = d.ctx.NewEvent(); err != nil {
			return err
		}
	}
	return nil
}

func (q *queue) close(ctx *driver.Context) error {
	var first error
	keep := func(err error) {
		if first == nil {
			first = err
		}
	}
	for _, r := range q.known {
		if r.graph != nil {
			keep(ctx.Drop(r.graph))
		}
	}
	for _, s := range q.pinned {
		if s.host != nil {
			keep(ctx.HostFree(s.host))
			keep(ctx.DestroyEvent(s.free))
		}
	}
	*q = queue{}
	return first
}

// stageOf puts the bytes of s, which may differ next time, where the kernels
// can read them and returns the address there. The same slice with the same
// contents is put there once.
func stageOf[T any](d *device, s []T) uint64 {
	if len(s) == 0 {
		return 0
	}
	at := unsafe.Pointer(unsafe.SliceData(s))
	bytes := unsafe.Slice((*byte)(at), len(s)*int(unsafe.Sizeof(s[0])))
	return d.stage(slice{at, len(bytes)}, bytes)
}

func (d *device) stage(key slice, bytes []byte) uint64 {
	q := &d.queue
	for _, from := range q.places[key] {
		if string(q.staged[from:from+len(bytes)]) == string(bytes) {
			return uint64(uintptr(q.area)) + uint64(from)
		}
	}
	from := (len(q.staged) + 15) &^ 15
	if from+len(bytes) > areaSize {
		d.fail("a list of %d MiB does not fit into the staging area: use fewer rows at a time", len(bytes)>>20)
		return 0
	}
	q.staged = append(q.staged[:len(q.staged):cap(q.staged)], make([]byte, from-len(q.staged))...)
	q.staged = append(q.staged, bytes...)
	if q.places == nil {
		q.places = make(map[slice][]int)
	}
	q.places[key] = append(q.places[key], from)
	return uint64(uintptr(q.area)) + uint64(from)
}

// flush hands the queue to the driver.
func (d *device) flush() {
	q := &d.queue
	if len(q.commands) > 0 {
		d.do(func() error {
			if err := d.meter.mark(d.ctx); err != nil {
				return err
			}
			if err := q.send(d.ctx); err != nil {
				return err
			}
			if err := d.run(); err != nil {
				return err
			}
			return d.meter.mark(d.ctx)
		})
	}
	q.commands, q.staged = q.commands[:0], q.staged[:0]
	clear(q.places)
}

// send copies the staged bytes to the device.
func (q *queue) send(ctx *driver.Context) error {
	if len(q.staged) == 0 {
		return nil
	}
	s := &q.pinned[q.turn]
	q.turn = (q.turn + 1) % stages
	if err := ctx.Wait(s.free); err != nil {
		return err
	}
	n := copy(s.host, q.staged)
	if err := ctx.Send(q.area, s.host[:n]); err != nil {
		return err
	}
	return ctx.Record(s.free)
}

// run does the commands: one by one the first time, as a graph from then on.
func (d *device) run() error {
	q := &d.queue
	i := slices.IndexFunc(q.known, func(r recording) bool { return slices.Equal(r.commands, q.commands) })
	if i < 0 {
		if len(q.known) == recordings {
			if r := q.known[recordings-1]; r.graph != nil {
				if err := d.ctx.Drop(r.graph); err != nil {
					return err
				}
			}
			q.known = q.known[:recordings-1]
		}
		q.known = slices.Insert(q.known, 0, recording{commands: slices.Clone(q.commands)})
		return d.runEach(q.commands)
	}
	r := q.known[i]
	if r.graph == nil {
		var err error
		if r.graph, err = d.ctx.Capture(func() error { return d.runEach(q.commands) }); err != nil {
			return err
		}
	}
	q.known = slices.Insert(slices.Delete(q.known, i, i+1), 0, r)
	return d.ctx.Replay(r.graph)
}

// runEach puts each command on the stream.
func (d *device) runEach(commands []command) error {
	for i := range commands {
		if err := d.runOne(&commands[i]); err != nil {
			return err
		}
	}
	return nil
}

func (d *device) runOne(c *command) error {
	switch {
	case c.launch.Fn != 0:
		return d.ctx.Launch(&c.launch)
	case c.plan != nil:
		return d.lt.MatMul(c.plan, c.alpha, c.beta, c.a, c.b, c.c, d.gemms.workspace, workspaceSize, d.ctx.Stream())
	case c.b != nil:
		return d.ctx.Move(c.c, c.b, c.bytes)
	}
	return d.ctx.Clear(c.c, c.bytes)
}

// add puts c into the queue. The last command of an operation leaves room in
// the staging area for another.
func (d *device) add(c command) {
	if d.err != nil {
		return
	}
	if d.dry == nil {
		d.queue.commands = append(d.queue.commands, c)
	}
	if len(d.queue.staged) > areaSize/2 {
		d.flush()
	}
}
