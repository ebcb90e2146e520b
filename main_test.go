package main

import (
	"os"
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
	testscript.Run(t, testscript.Params{Dir: "scripts/testdata"})
}
