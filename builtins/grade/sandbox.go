package grade

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
)

// sandbox is what a child process may still do.
type sandbox struct {
	Read   []string `json:"read"`   // folders and files that it may read and execute
	Write  string   `json:"write"`  // folder that it may write in; "": none
	Memory int64    `json:"memory"` // bytes of address space; 0: as much as there is
	CPU    int64    `json:"cpu"`    // seconds of processor time; 0: without end
	Env    []string `json:"env"`    // of the program
}

// libraries are where programs find theirs.
var libraries = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache"}

// sandboxEnv holds the sandbox of a process that locks itself in and becomes
// the program of its arguments.
const sandboxEnv = "STARBOOK_GRADER_SANDBOX"

// sandboxExit is the exit status of a process that could not lock itself in.
const sandboxExit = 78

// environ returns the environment in which this program becomes path, locked in.
func (s sandbox) environ() []string {
	b, err := json.Marshal(s)
	if err != nil { // strings and numbers
		panic(err)
	}
	return []string{childEnv + "=sandbox", sandboxEnv + "=" + string(b)}
}

// confine enters the sandbox of the environment and executes the arguments. It
// does not return.
func confine() {
	var s sandbox
	err := json.Unmarshal([]byte(os.Getenv(sandboxEnv)), &s)
	if err == nil && len(os.Args) < 2 {
		err = fmt.Errorf("nothing to execute")
	}
	if err == nil {
		err = s.enter()
	}
	if err == nil {
		err = syscall.Exec(os.Args[1], os.Args[1:], s.Env)
	}
	fmt.Fprintf(os.Stderr, "sandbox: %v\n", err)
	os.Exit(sandboxExit)
}
