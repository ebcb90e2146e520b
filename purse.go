package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// purse asks a person before money is spent.
type purse struct {
	in       io.Reader
	out      io.Writer
	terminal bool // somebody is there

	mu    sync.Mutex // one question at a time
	lines chan string
	all   bool // the answer to all further questions is yes
}

// newPurse asks whoever sits at the terminal; yes was said before.
func newPurse(yes bool) *purse {
	return &purse{in: os.Stdin, out: os.Stderr, terminal: term.IsTerminal(int(os.Stdin.Fd())), all: yes}
}

// consent asks until there is an answer; an empty one is a no.
func (p *purse) consent(ctx context.Context, quote string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all {
		return nil
	}
	if !p.terminal {
		return fmt.Errorf("this costs money, and nobody is there to agree: run it with --yes\n  %s", quote)
	}
	if p.lines == nil {
		p.lines = make(chan string)
		go func() { // ends with the input, or with the process
			defer close(p.lines)
			for in := bufio.NewScanner(p.in); in.Scan(); {
				p.lines <- in.Text()
			}
		}()
	}
	for {
		fmt.Fprintf(p.out, "%s\nspend it? y(es), a(ll of this run), N(o): ", quote)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case line := <-p.lines:
			switch strings.ToLower(strings.TrimSpace(line)) {
			case "a", "all":
				p.all = true
				return nil
			case "y", "yes":
				return nil
			case "", "n", "no":
				return errors.New("nothing was spent: you said no")
			}
		}
	}
}
