package builtins

import (
	"context"
	"fmt"
	"strings"

	"starbook/builtins/dataset"
	"starbook/runtime"
)

type critiqueArgs struct {
	pairArgs
	Prompt     string `arg:"prompt={prompt}\n\nCandidate answer:\n{guess}" doc:"what the student reads: the question and an answer to it; names of columns in braces are filled in"`
	Field      string `arg:"field=critique" doc:"column with the critique"`
	Conclusion string `arg:"conclusion=\n\nConclusion: {verdict}" doc:"what follows the critique; empty: nothing"`
}

func pairCritique() Func {
	return previewed[critiqueArgs](step("pair.critique", 1, runtime.None,
		"Makes pairs that teach a student to judge answers, as critique fine-tuning does (arXiv 2501.17703).\n"+
			"What is read is a question and an answer to it, what is learnt is the critique. distill.critique has a teacher write them. The pairs are\n"+
			"of the kind \"critique\" and carry the example's id as their parent.", critiquePairs), "Critiques")
}

func critiquePairs(_ context.Context, _ *Host, s *runtime.Step, a critiqueArgs) (runtime.Artifact, error) {
	examples, dropped, err := a.examples(s, dataset.Prompt, a.Field, "critique")
	if err != nil {
		return runtime.Artifact{}, err
	}
	var out []Row
	for _, e := range examples {
		prompt, err := filled(a.Prompt, e.row)
		if err != nil {
			return runtime.Artifact{}, fmt.Errorf("example %s: prompt: %w", e.id, err)
		}
		end, err := filled(a.Conclusion, e.row)
		if err != nil {
			return runtime.Artifact{}, fmt.Errorf("example %s: conclusion: %w", e.id, err)
		}
		out = append(out, Row{
			"id": e.id + "/c", "parent": e.parent, "kind": "critique", "prompt": prompt, "completion": strings.TrimRight(e.answer, " \n") + end,
			"source": a.sourceOf(e.row),
		})
	}
	return WriteRows(s, out, Facts{"counts": map[string]int{"critique": len(out)}, "dropped": dropped})
}
