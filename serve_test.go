package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"starbook/runtime/store"
)

// TestServe: what is printed is an address that a browser can open; where other machines
// reach it, only with the token.
func TestServe(t *testing.T) {
	a := &app{storeDir: filepath.Join(t.TempDir(), "store")}
	if err := a.serve(context.Background(), io.Discard, "127.0.0.1:0", nil); err == nil || !strings.Contains(err.Error(), "run a notebook first") {
		t.Errorf("without a store: %v", err)
	}
	st, err := store.Open(a.storeDir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := a.serve(context.Background(), io.Discard, "127.0.0.1:none", nil); err == nil || !strings.Contains(err.Error(), "--addr") {
		t.Errorf("without a port: %v", err)
	}
	for addr, guarded := range map[string]bool{"127.0.0.1:0": false, "0.0.0.0:0": true} {
		ctx, cancel := context.WithCancel(context.Background())
		from, to := io.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- a.serve(ctx, to, addr, nil) }()
		line, err := bufio.NewReader(from).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		where, err := url.Parse(strings.TrimSpace(line))
		if err != nil || (where.Query().Get("token") != "") != guarded {
			t.Fatalf("%s: printed %q, %v", addr, line, err)
		}
		where.RawQuery, where.Host = "", "127.0.0.1:"+where.Port()
		resp, err := http.Get(where.String())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.StatusCode; got != map[bool]int{true: 401, false: 200}[guarded] {
			t.Errorf("%s without the token: %d", addr, got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s ended with %v", addr, err)
		}
	}
}
