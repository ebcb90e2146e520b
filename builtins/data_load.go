package builtins

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"starbook/builtins/dataset"
	"starbook/runtime"
)

// load makes a dataset of what read finds in a file, plain or gzipped.
func load(ctx context.Context, s *runtime.Step, f File, facts Facts, read func(io.Reader) iter.Seq2[Row, error]) (_ runtime.Artifact, err error) {
	in, err := f.Open()
	if err != nil {
		return runtime.Artifact{}, err
	}
	defer in.Close()
	r := io.Reader(reader{ctx, in})
	if strings.HasSuffix(f.Path, ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			return runtime.Artifact{}, fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	rows, err := dataset.Collect(read(r))
	if err != nil {
		return runtime.Artifact{}, err
	}
	if err := in.Close(); err != nil {
		return runtime.Artifact{}, err
	}
	return WriteRows(s, rows, facts)
}

type fileArgs struct {
	Path File `arg:"path" doc:"from the notebook's folder; its content counts, not where it lies"`
}

func dataJSONL() Func {
	return step("data.jsonl", 1, runtime.CPU, "Reads a file of JSON objects, one a line; .gz too. No id may occur twice.",
		func(ctx context.Context, _ *Host, s *runtime.Step, a fileArgs) (runtime.Artifact, error) {
			return load(ctx, s, a.Path, nil, func(r io.Reader) iter.Seq2[Row, error] { return dataset.JSONL(r, a.Path.Path) })
		})
}

type csvArgs struct {
	Path  File   `arg:"path" doc:"from the notebook's folder; its content counts, not where it lies"`
	Comma string `arg:"comma=," doc:"what separates fields; \"\\t\" for a TSV file"`
}

func (a *csvArgs) check() error {
	if utf8.RuneCountInString(a.Comma) != 1 || strings.ContainsAny(a.Comma, "\r\n\"") {
		return fmt.Errorf("comma: got %q, want one character", a.Comma)
	}
	return nil
}

func dataCSV() Func {
	return step("data.csv", 1, runtime.CPU, "Reads a CSV file whose first line names the fields; .gz too. All values are text.",
		func(ctx context.Context, _ *Host, s *runtime.Step, a csvArgs) (runtime.Artifact, error) {
			comma, _ := utf8.DecodeRuneInString(a.Comma)
			return load(ctx, s, a.Path, nil, func(r io.Reader) iter.Seq2[Row, error] { return dataset.CSV(r, a.Path.Path, comma) })
		})
}

func dataParquet() Func {
	return step("data.parquet", 1, runtime.CPU, "Reads a Parquet file of text and numbers.",
		func(ctx context.Context, _ *Host, s *runtime.Step, a fileArgs) (runtime.Artifact, error) {
			return load(ctx, s, a.Path, nil, func(r io.Reader) iter.Seq2[Row, error] { return dataset.Parquet(r, a.Path.Path) })
		})
}

type textArgs struct {
	Prompts         File   `arg:"prompts" doc:"text file; each line is a prompt"`
	Completions     File   `arg:"completions" doc:"text file; line n answers line n of prompts"`
	PromptField     string `arg:"prompt_field=prompt" doc:"field for the prompts"`
	CompletionField string `arg:"completion_field=completion" doc:"field for the completions"`
}

func (a *textArgs) check() error {
	if a.PromptField == a.CompletionField {
		return errors.New("prompt_field and completion_field are the same")
	}
	return nil
}

func dataText() Func {
	return step("data.text", 1, runtime.CPU, "Reads two text files whose lines belong together, as translations often come.",
		func(ctx context.Context, _ *Host, s *runtime.Step, a textArgs) (runtime.Artifact, error) {
			answers, err := a.Completions.Open()
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer answers.Close()
			art, err := load(ctx, s, a.Prompts, nil, func(r io.Reader) iter.Seq2[Row, error] {
				return dataset.Aligned(
					dataset.Lines{R: r, Name: a.Prompts.Path, Field: a.PromptField},
					dataset.Lines{R: reader{ctx, answers}, Name: a.Completions.Path, Field: a.CompletionField},
				)
			})
			if err != nil {
				return runtime.Artifact{}, err
			}
			return art, answers.Close()
		})
}

type examplesArgs struct {
	Path    File              `arg:"path" doc:"a .jsonl, .csv, .tsv or .parquet file, plain or .gz, from the notebook's folder; its content counts, not where it lies"`
	Columns map[string]string `arg:"columns={}" doc:"settles what is ambiguous: {\"completion\": \"response\"} takes the completion from response"`
}

func (a *examplesArgs) check() error {
	for column := range a.Columns {
		if !slices.Contains(dataset.Columns, column) {
			return fmt.Errorf("columns: %s: on the left stands one of %s", column, strings.Join(dataset.Columns, ", "))
		}
	}
	return nil
}

func dataExamples() Func {
	return step("data.examples", 1, runtime.CPU, "Reads a file of examples in any common form into the columns system, prompt, completion, answer and guess.\n"+
		"Forms: alpaca (instruction, input, output), ShareGPT (conversations), OpenAI's messages, prompt/completion, query/response,\n"+
		"question/answer, input/output, and failures with reference_answer and previous_output or model_output. Longer conversations\n"+
		"stay in messages. Keys that are not known are kept, those of an object meta as columns. What could be read in two ways is an\n"+
		"error that names file, line and the choice. .counts says how many rows had which form.",
		func(ctx context.Context, _ *Host, s *runtime.Step, a examplesArgs) (runtime.Artifact, error) {
			forms := map[string]int{}
			return load(ctx, s, a.Path, Facts{"counts": forms}, func(r io.Reader) iter.Seq2[Row, error] {
				return dataset.Read(r, a.Path.Path, func(r Row) (Row, error) {
					row, form, err := dataset.Recognise(r, a.Columns)
					forms[form]++
					return row, err
				})
			})
		})
}
