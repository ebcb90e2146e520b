package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	stdruntime "runtime"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"starbook/gpu/cpu"
	"starbook/gpu/cuda"
	"starbook/runtime"
)

// finding is one line of what doctor found.
type finding struct {
	What   string `json:"what"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // what to do, if something should be done
}

func (a *app) doctorCmd() *cobra.Command {
	var asJSON, deep bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say what this machine, this build and the store are like, and what to mend", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found := a.examine(deep)
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), found)
			}
			return report(cmd.OutOrStdout(), found)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&deep, "deep", false, "read every blob again and compare it with its name")
	return cmd
}

func report(w io.Writer, found []finding) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range found {
		fmt.Fprintf(t, "%s\t%s\n", f.What, f.Found)
		if f.Advice != "" {
			fmt.Fprintf(t, "\t→ %s\n", f.Advice)
		}
	}
	return t.Flush()
}

func (a *app) examine(deep bool) []finding {
	found := []finding{
		{What: "starbook", Found: runtime.Revision() + ", " + stdruntime.Version() + " " + stdruntime.GOOS + "/" + stdruntime.GOARCH},
	}
	found = append(found, processor()...)
	found = append(found, gpus()...)
	found = append(found, a.disk(), git())
	for _, key := range []string{"OPENAI_API_KEY", "ANTHROPIC_API_KEY"} {
		f := finding{What: key, Found: "set"} // never the value
		if os.Getenv(key) == "" {
			f.Found = "not set (needed only to ask that teacher)"
		}
		found = append(found, f)
	}
	return append(found, a.health(deep))
}

// processor says what computes where there is no GPU, and how much memory it has for that.
func processor() []finding {
	d, err := openCPU(cpu.Options{})
	if err != nil {
		return []finding{{"cpu", "none: " + err.Error(), "starbook needs a C compiler when it is built: install gcc or clang"}}
	}
	defer d.Close()
	found := []finding{{What: "cpu", Found: d.Name()}}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return append(found, finding{What: "memory", Found: err.Error()})
	}
	const gib = 1 << 30
	all := float64(info.Totalram) * float64(info.Unit)
	f := finding{What: "memory", Found: fmt.Sprintf("%.1f GiB", all/gib)}
	if room := d.Room(); room > 0 { // else the system does not say
		f.Found += fmt.Sprintf(", of which tensors may take %.1f GiB now (%s sets another limit)", float64(room)/gib, memoryEnv)
	}
	return append(found, f)
}

// gpus says what there is of CUDA, and of what is missing the first thing to mend.
func gpus() []finding {
	c, err := cuda.Find()
	var found []finding
	if c.Driver != "" {
		found = append(found, finding{What: "driver", Found: fmt.Sprintf("%s, serves CUDA %s", c.Driver, c.DriverCUDA())})
		if len(c.Missing) > 0 {
			const shown = 6
			found[0].Advice = fmt.Sprintf("%d entry points are missing, a newer driver may have them: %s", len(c.Missing), strings.Join(c.Missing[:min(shown, len(c.Missing))], ", "))
		}
	}
	for i, g := range c.GPUs {
		found = append(found, finding{What: fmt.Sprintf("cuda:%d", i), Found: fmt.Sprintf("%s, sm_%d, %.1f GiB", g.Name, g.SM, float64(g.Memory)/(1<<30))})
	}
	if err != nil {
		f := finding{What: "cuda", Found: err.Error()}
		if out, smi := exec.Command("nvidia-smi", "-L").Output(); smi == nil {
			f.Advice = "nvidia-smi sees " + strings.TrimSpace(strings.SplitN(string(out), "\n", 2)[0])
		}
		return append(found, f)
	}
	for _, l := range []struct {
		name string
		cuda.Library
	}{{"cublasLt", c.CuBLAS}, {"nvrtc", c.NVRTC}} {
		if l.Err != nil {
			found = append(found, finding{l.name, "not found", l.Err.Error()})
		} else {
			found = append(found, finding{What: l.name, Found: l.Version + ", " + l.Path})
		}
	}
	return found
}

func (a *app) disk() finding {
	dir := a.storeDir
	if _, err := os.Stat(dir); err != nil {
		dir = "."
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return finding{What: "disk", Found: err.Error()}
	}
	free := float64(fs.Bavail) * float64(fs.Bsize) / (1 << 30)
	f := finding{What: "disk", Found: fmt.Sprintf("%.1f GiB free where the store lies", free)}
	if free < 1 {
		f.Advice = "free some space, or put the store elsewhere with --store"
	}
	return f
}

func git() finding {
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return finding{"git", "no repository here, so runs record no commit", "git init, to have code compared between runs"}
	}
	return finding{What: "git", Found: "at " + strings.TrimSpace(string(out))}
}

// health opens the store and looks whether its file and its blobs are whole.
func (a *app) health(deep bool) finding {
	if _, err := os.Stat(a.storeDir); err != nil {
		return finding{What: "store", Found: "none yet at " + a.storeDir}
	}
	st, err := a.open(false)
	if err != nil {
		return finding{"store", err.Error(), "copy " + a.storeDir + " before you try anything on it"}
	}
	defer st.Close()
	runs, err := st.Runs(0)
	if err != nil {
		return finding{What: "store", Found: err.Error()}
	}
	switch damage, err := st.Check(deep); {
	case err != nil:
		return finding{What: "store", Found: err.Error()}
	case len(damage) > 0:
		return finding{"store", a.storeDir + ": " + strings.Join(damage, "; "), "what a lost blob belongs to is made again by running its notebook; for a damaged store.db, sqlite3 has .recover"}
	}
	f := finding{What: "store", Found: fmt.Sprintf("%s, %s, undamaged", a.storeDir, plural(len(runs), "run"))}
	if doubt, err := st.InDoubt(); err == nil && len(doubt) > 0 {
		f.Advice = plural(len(doubt), "request") + " to a teacher cut off before the answer came: possibly paid, and asked again by the next run"
	}
	return f
}
