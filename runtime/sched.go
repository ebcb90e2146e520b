package runtime

import (
	"context"
	"fmt"
)

// Resource is something of which only so many steps may hold a slot at once.
type Resource string

// The resources. A step that needs none of them runs at once.
const (
	None Resource = ""
	CPU  Resource = "cpu"
	GPU  Resource = "gpu" // the tensor device, be it a GPU or not
	Net  Resource = "net"
)

// Pool hands out slots. It is safe for use by many goroutines.
type Pool struct {
	slots map[Resource]chan struct{}
}

// NewPool returns a Pool with so many slots of each resource; at least one.
func NewPool(slots map[Resource]int) *Pool {
	p := &Pool{slots: make(map[Resource]chan struct{}, len(slots))}
	for r, n := range slots {
		p.slots[r] = make(chan struct{}, max(n, 1))
	}
	return p
}

// Acquire waits for a slot of r. The caller calls release once. A nil Pool,
// and a resource that the Pool does not know, have slots for everyone.
func (p *Pool) Acquire(ctx context.Context, r Resource) (release func(), err error) {
	if p == nil || p.slots[r] == nil {
		return func() {}, ctx.Err()
	}
	slot := p.slots[r]
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a %s slot: %w", r, context.Cause(ctx))
	}
}
