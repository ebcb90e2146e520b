package store

import (
	"database/sql"
	"errors"
	"math"

	"starbook/runtime/cas"
)

// manyCurves are remembered before the writer starts to remember anew.
const manyCurves = 1 << 16

// curves is what the writer knows of the series it writes, so that a point costs one
// row and no look-up. It is thrown away when another process has written.
type curves struct {
	known   map[curveName]*curve
	version int64 // PRAGMA data_version when known was right
}

type curveName struct {
	step cas.Digest
	name string
}

func (cs *curves) forget() { cs.known = map[curveName]*curve{} }

// refresh forgets everything if another connection has committed since.
func (cs *curves) refresh(c *conn) error {
	var v int64
	if err := c.get([]any{&v}, "PRAGMA data_version"); err != nil {
		return err
	}
	if v != cs.version || len(cs.known) > manyCurves {
		cs.forget()
		cs.version = v
	}
	return nil
}

// add writes points and brings the summaries up to date.
func (cs *curves) add(c *conn, batches []batch) error {
	var touched []*curve
	rows := newPointRows(c)
	for _, b := range batches {
		if len(b.points) == 0 {
			continue
		}
		k, err := cs.find(c, b.curveName)
		if err != nil {
			return err
		}
		if err := k.take(c, rows, b.points); err != nil {
			return err
		}
		touched = append(touched, k)
	}
	if err := rows.flush(); err != nil {
		return err
	}
	for _, k := range touched {
		if err := k.settle(c, sealAt); err != nil {
			return err
		}
	}
	return nil
}

// find returns the curve of a series, which it makes if need be.
func (cs *curves) find(c *conn, n curveName) (*curve, error) {
	if k := cs.known[n]; k != nil {
		return k, nil
	}
	k, err := loadCurve(c, n)
	if errors.Is(err, sql.ErrNoRows) {
		k = &curve{Series: Series{Step: n.step, Name: n.name, Last: math.NaN(), Min: math.NaN(), Max: math.NaN()}}
		var res sql.Result
		if res, err = c.exec("INSERT INTO series (step, name, n, last_x, min_x, max_x) VALUES (?, ?, 0, 0, 0, 0)", n.step.String(), n.name); err == nil {
			k.id, err = res.LastInsertId()
		}
	}
	if err != nil {
		return nil, err
	}
	cs.known[n] = k
	return k, nil
}

// ofStep returns the curves of a step, also those written by other processes.
func (cs *curves) ofStep(c *conn, step cas.Digest) ([]*curve, error) {
	rows, err := c.query("SELECT name FROM series WHERE step = ? ORDER BY name", step.String())
	if err != nil {
		return nil, err
	}
	names, err := collect(rows, func(n *string) []any { return []any{n} })
	if err != nil {
		return nil, err
	}
	list := make([]*curve, len(names))
	for i, n := range names {
		if list[i], err = cs.find(c, curveName{step, n}); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// finish seals the longer tails of a step that is done and forgets its curves.
func (cs *curves) finish(c *conn, step cas.Digest) error {
	list, err := cs.ofStep(c, step)
	if err != nil {
		return err
	}
	for _, k := range list {
		if k.tail >= sealSmall {
			if err := k.settle(c, sealSmall); err != nil {
				return err
			}
		}
		delete(cs.known, curveName{step, k.Name})
	}
	return nil
}
