package reports

import (
	"fmt"
	"slices"
	"strings"

	"starbook/runtime/cas"
)

// lineage is the graph of a run's steps: who made what from what. It is laid
// out in layers from left to right (Sugiyama's way): a node stands right of all
// that it reads, arrows that pass over a layer get a place of their own in it,
// and nodes are sorted by where their inputs stand.
type lineage struct {
	nodes  []*node
	layers [][]*node
}

// node is a step with its output, an input from outside, or (ghost) the place
// where an arrow passes a layer.
type node struct {
	name, note, link string
	state            string // run, hit, failed, unfinished, given, ghost
	from             []*node
	layer            int
	x, y             float64
	rank             float64 // mean place of the inputs
}

// Sizes in units of the viewBox.
const (
	boxWidth  = 122.0
	boxHeight = 40.0
	boxGapX   = 30.0
	boxGapY   = 14.0
)

// graphLimit is how many steps a graph may have and still tell something.
const graphLimit = 80

// lineageOf lays out the graph of the run's steps; nil where there is none to see.
func lineageOf(r *run) *lineage {
	if len(r.Uses) < 2 || len(r.Uses) > graphLimit {
		return nil
	}
	l, by := &lineage{}, map[cas.Digest]*node{}
	for _, u := range r.Uses {
		n := &node{name: u.Name, link: stepID(u.Key), state: u.mark(), note: u.Step.Kind + " " + u.Step.Output.Short()}
		if !u.Done {
			n.note = "no output"
		}
		for _, g := range u.Step.Inputs {
			if by[g] == nil {
				by[g] = &node{name: "given", note: g.Short(), state: "given"}
				l.nodes = append(l.nodes, by[g])
			}
			if !slices.Contains(n.from, by[g]) {
				n.from = append(n.from, by[g])
			}
		}
		l.nodes = append(l.nodes, n)
		if u.Done && !u.Step.Output.IsZero() && by[u.Step.Output] == nil {
			by[u.Step.Output] = n
		}
	}
	l.layer()
	l.bend()
	l.sort()
	l.place()
	return l
}

// layer puts each node right of its inputs. Nodes stand in order of first
// call, so inputs come first and the graph has no cycle. What has no inputs
// moves right, up to its first reader.
func (l *lineage) layer() {
	first := map[*node]int{}
	for _, n := range l.nodes {
		for _, f := range n.from {
			n.layer = max(n.layer, f.layer+1)
		}
		for _, f := range n.from {
			if at, ok := first[f]; !ok || n.layer < at {
				first[f] = n.layer
			}
		}
	}
	for _, n := range l.nodes {
		if at, ok := first[n]; ok && len(n.from) == 0 {
			n.layer = at - 1
		}
	}
	for _, n := range l.nodes {
		for len(l.layers) <= n.layer {
			l.layers = append(l.layers, nil)
		}
		l.layers[n.layer] = append(l.layers[n.layer], n)
	}
}

// bend gives arrows that pass over layers a ghost in each; ghosts of the same
// origin are shared.
func (l *lineage) bend() {
	ghosts := map[*node]map[int]*node{}
	for _, n := range slices.Clone(l.nodes) {
		for i, f := range n.from {
			last := f
			for at := f.layer + 1; at < n.layer; at++ {
				if ghosts[f] == nil {
					ghosts[f] = map[int]*node{}
				}
				g := ghosts[f][at]
				if g == nil {
					g = &node{state: "ghost", layer: at, from: []*node{last}}
					ghosts[f][at] = g
					l.layers[at] = append(l.layers[at], g)
					l.nodes = append(l.nodes, g)
				}
				last = g
			}
			n.from[i] = last
		}
	}
}

// sort orders each layer by the mean place of its inputs, and the layers
// before by that of their readers, twice.
func (l *lineage) sort() {
	readers := map[*node][]*node{}
	for _, n := range l.nodes {
		for _, f := range n.from {
			readers[f] = append(readers[f], n)
		}
	}
	sweep := func(layer []*node, near func(*node) []*node) {
		for i, n := range layer {
			n.rank = float64(i)
			if others := near(n); len(others) > 0 {
				n.rank = 0
				for _, o := range others {
					n.rank += o.y / float64(len(others))
				}
			}
		}
		slices.SortStableFunc(layer, func(a, b *node) int { return cmpFloat(a.rank, b.rank) })
		for i, n := range layer {
			n.y = float64(i)
		}
	}
	for range 2 {
		for _, layer := range l.layers {
			sweep(layer, func(n *node) []*node { return n.from })
		}
		for i := len(l.layers) - 1; i >= 0; i-- {
			sweep(l.layers[i], func(n *node) []*node { return readers[n] })
		}
	}
}

// cmpFloat compares for sorting.
func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// place turns layers and places into coordinates, each layer centred.
func (l *lineage) place() {
	height := l.height()
	for i, layer := range l.layers {
		y := (height - stackHeight(layer)) / 2
		for _, n := range layer {
			n.x, n.y = 1+float64(i)*(boxWidth+boxGapX), y
			y += n.height() + boxGapY
		}
	}
}

// height returns a node's height: a ghost is as thin as its arrow.
func (n *node) height() float64 {
	if n.state == "ghost" {
		return 4
	}
	return boxHeight
}

// stackHeight returns the height of a layer.
func stackHeight(layer []*node) float64 {
	h := -boxGapY
	for _, n := range layer {
		h += n.height() + boxGapY
	}
	return h
}

// height returns the height of the graph.
func (l *lineage) height() float64 {
	h := boxHeight
	for _, layer := range l.layers {
		h = max(h, stackHeight(layer))
	}
	return h + 4
}

// Width returns the width of the drawing in pixels at full size.
func (l *lineage) Width() float64 { return float64(len(l.layers))*(boxWidth+boxGapX) - boxGapX + 2 }

// SVG draws the graph.
func (l *lineage) SVG() html {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="lineage" width="%s" height="%s" viewBox="0 0 %s %s" role="img" aria-label="Lineage: which step made what from what">`,
		num(l.Width()), num(l.height()), num(l.Width()), num(l.height()))
	for _, n := range l.nodes {
		for _, f := range n.from {
			b.WriteString(arrow(f, n))
		}
	}
	for _, n := range l.nodes {
		n.write(&b)
	}
	b.WriteString("</svg>")
	return html(b.String())
}

// arrow draws the curve from f to n.
func arrow(f, n *node) string {
	x0, y0, x1, y1 := f.x+boxWidth, f.y+f.height()/2, n.x, n.y+n.height()/2
	bend := boxGapX * 0.6
	tip := ""
	if n.state != "ghost" {
		tip = fmt.Sprintf("M%s %sL%s %sL%s %s", num(x1-5), num(y1-3.5), num(x1), num(y1), num(x1-5), num(y1+3.5))
	}
	return fmt.Sprintf(`<path class="l mute" stroke-width="1.2" d="M%s %sC%s %s %s %s %s %s%s"/>`,
		num(x0), num(y0), num(x0+bend), num(y0), num(x1-bend), num(y1), num(x1), num(y1), tip)
}

// write draws the box of a node, or the line of a ghost.
func (n *node) write(b *strings.Builder) {
	if n.state == "ghost" {
		y := num(n.y + n.height()/2)
		fmt.Fprintf(b, `<path class="l mute" stroke-width="1.2" d="M%s %sH%s"/>`, num(n.x), y, num(n.x+boxWidth))
		return
	}
	if n.link != "" {
		fmt.Fprintf(b, `<a href="#%s">`, n.link)
	}
	fmt.Fprintf(b, `<rect class="box %s" x="%s" y="%s" width="%s" height="%s" rx="6"/>`, n.state, num(n.x), num(n.y), num(boxWidth), num(boxHeight))
	fmt.Fprintf(b, `<text class="fg name" x="%s" y="%s" font-size="12">%s</text>`, num(n.x+9), num(n.y+17), escape(clip(n.name, 17)))
	fmt.Fprintf(b, `<text class="mute" x="%s" y="%s" font-size="10.5">%s</text>`, num(n.x+9), num(n.y+31), escape(clip(n.note, 21)))
	if n.link != "" {
		b.WriteString("</a>")
	}
}
