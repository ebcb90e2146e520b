// Package live serves pages that follow the store: the same pages as the reports', made
// anew when somebody, in whichever process, has written to it.
//
// Nothing here writes to the store but the request to stop a run. Pages hold no script
// but ours, load nothing from elsewhere, and say so in their content security policy.
package live

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"strings"
	"time"

	"starbook/reports"
	"starbook/runtime/store"
)

// Server shows a store. Set the fields, then call Serve.
type Server struct {
	Store *store.Store
	Token string   // what a browser must know; "": nothing, for loopback only
	Hosts []string // names that it may be called by, besides localhost and addresses

	pulse *pulse
}

// Serve answers on l until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch, err := s.Store.Watch(ctx)
	if err != nil {
		return err
	}
	defer watch.Close()
	s.pulse = newPulse()
	go s.pulse.follow(ctx, s.Store, watch)
	srv := &http.Server{
		Handler:           s.guard(s.routes()),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page(func(r *http.Request) (shell, error) {
		p, err := reports.Index(s.Store, r.FormValue("q"))
		return shell{Page: p}, err
	}))
	mux.HandleFunc("GET /runs/{id}", s.page(s.run))
	mux.HandleFunc("GET /runs/{id}/log", s.page(func(r *http.Request) (shell, error) {
		p, err := reports.Log(s.Store, r.PathValue("id"))
		return shell{Page: p}, err
	}))
	mux.HandleFunc("POST /runs/{id}/stop", s.stop)
	mux.HandleFunc("GET /compare", s.page(s.compare))
	mux.HandleFunc("GET /sweeps/{id}", s.page(s.sweep))
	mux.HandleFunc("GET /changes", s.changes)
	mux.HandleFunc("GET /live.js", file("text/javascript; charset=utf-8", script))
	mux.HandleFunc("GET /style.css", file("text/css; charset=utf-8", reports.Style()))
	mux.HandleFunc("GET /icon.svg", file("image/svg+xml", icon))
	return mux
}

// shell is what stands around a page.
type shell struct {
	reports.Page
	Run     string // the run that the page is about
	Running bool
	Sweep   string
}

//go:embed page.html
var files embed.FS

//go:embed live.js
var script string

const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path fill="#0072b2" d="M12 1l3.2 7.3 7.8.7-5.900 5.200 1.800 7.800L12 18l-6.900 4 1.800-7.800L1 9l7.800-.7z"/></svg>`

var templates = template.Must(template.ParseFS(files, "page.html"))

// page answers with what build makes, or with nothing new if the browser has it.
func (s *Server) page(build func(*http.Request) (shell, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := build(r)
		if err != nil {
			s.fail(w, err)
			return
		}
		var out bytes.Buffer
		if err := templates.Execute(&out, p); err != nil {
			s.fail(w, err)
			return
		}
		sum := sha256.Sum256(out.Bytes())
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(out.Bytes()))
	}
}

// fail says in words what is wrong.
func (s *Server) fail(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	switch {
	case errors.Is(err, errRequest):
		code = http.StatusBadRequest
	case errors.Is(err, store.ErrNotFound):
		code = http.StatusNotFound
	case errors.Is(err, store.ErrAmbiguous):
		code = http.StatusMultipleChoices
	case errors.Is(err, store.ErrNotRunning):
		code = http.StatusConflict
	}
	http.Error(w, err.Error(), code)
}

// errRequest marks what a browser asked for in a wrong way.
var errRequest = errors.New("cannot be shown")

func (s *Server) run(r *http.Request) (shell, error) {
	head, err := s.Store.Run(r.PathValue("id"))
	if err != nil {
		return shell{}, err
	}
	p, err := reports.Of(s.Store, []string{head.ID}, reports.Options{Linked: true})
	return shell{Page: p, Run: head.ID, Running: head.Status == store.Running, Sweep: head.Sweep}, err
}

// mostCompared is how many runs a page compares.
const mostCompared = 2000

func (s *Server) compare(r *http.Request) (shell, error) {
	if err := r.ParseForm(); err != nil {
		return shell{}, fmt.Errorf("compare: %w: %w", errRequest, err)
	}
	runs := r.Form["run"]
	if len(runs) < 2 || len(runs) > mostCompared {
		return shell{}, fmt.Errorf("compare: %w: choose 2 to %d runs", errRequest, mostCompared)
	}
	p, err := reports.Of(s.Store, runs, reports.Options{Linked: true})
	return shell{Page: p}, err
}

func (s *Server) sweep(r *http.Request) (shell, error) {
	trials, err := s.Store.SweepRuns(r.PathValue("id"))
	if err != nil {
		return shell{}, err
	}
	out := shell{Sweep: trials[0].Sweep}
	var ids []string
	for _, t := range trials {
		ids = append(ids, t.ID)
		if t.Status == store.Running {
			out.Run, out.Running = t.ID, true
		}
	}
	out.Page, err = reports.Of(s.Store, ids, reports.Options{Linked: true})
	return out, err
}

// stop asks a run to stop, and goes back to its page.
func (s *Server) stop(w http.ResponseWriter, r *http.Request) {
	run, err := s.Store.Run(r.PathValue("id"))
	if err == nil {
		err = s.Store.RequestStop(run.ID)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	http.Redirect(w, r, "/runs/"+run.ID, http.StatusSeeOther)
}

// file answers with a text that never changes while we serve.
func file(kind, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
	}
}
