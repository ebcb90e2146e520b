package builtins

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"

	"starbook/runtime"
)

type fileArgs struct {
	Path File `arg:"path" doc:"from the working directory; its content counts, not where it lies"`
}

func dataJSONL() Func {
	return step("data.jsonl", 1, runtime.CPU, "Reads a file of JSON objects, one a line.",
		func(ctx context.Context, _ *Host, s *runtime.Step, a fileArgs) (runtime.Artifact, error) {
			f, err := a.Path.Open()
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer f.Close()
			var rows []Row
			in := bufio.NewReader(reader{ctx, f})
			for line := 1; ; line++ {
				b, err := in.ReadBytes('\n')
				if len(bytes.TrimSpace(b)) > 0 {
					r, derr := decodeObject(b)
					if derr != nil {
						return runtime.Artifact{}, fmt.Errorf("%s:%d: %w", a.Path.Path, line, derr)
					}
					rows = append(rows, r)
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					return runtime.Artifact{}, err
				}
			}
			if err := f.Close(); err != nil {
				return runtime.Artifact{}, err
			}
			return WriteRows(s, rows, nil)
		})
}
