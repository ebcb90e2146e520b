package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"starbook/builtins/grade"
)

func TestMain(m *testing.M) {
	grade.ChildMain() // never returns in a grader's child process
	testscript.Main(m, map[string]func(){
		"starbook": func() { os.Exit(run(os.Args[1:])) },
	})
}

// TestSessions runs the sessions of scripts/testdata: what a user types, and
// what comes back.
func TestSessions(t *testing.T) {
	scripts, err := filepath.Abs("scripts")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: "scripts/testdata", Setup: func(e *testscript.Env) error {
		e.Setenv("SCRIPTS", scripts)
		e.Setenv("GORACE", os.Getenv("GORACE"))
		return nil
	}})
}
