package reports

import (
	"fmt"
	"strings"

	"starbook/reports/where"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// indexPage is the list of the runs, newest first.
type indexPage struct {
	Query   string
	Problem string // with the query
	Rows    []indexRow
	Left    int // rows that the page leaves out
	All     int // runs in the store
	Running int
}

// indexRow is a run in the list.
type indexRow struct {
	boardRow
	Begun   string
	Took    float64
	Changed string // params that are not at their defaults
	Tags    []string
}

// indexRows is how many runs the list shows.
const indexRows = 500

// Index makes the page that lists the runs, of those for which query holds, in the
// language of package where.
func Index(st *store.Store, query string) (Page, error) {
	v := indexPage{Query: query}
	condition, err := where.Parse(query)
	if err != nil {
		v.Problem = err.Error()
	}
	all, err := loadHeads(st)
	if err != nil {
		return Page{}, err
	}
	v.All = len(all)
	series := seriesOf(st, all)
	met := map[string]bool{} // names that some run knows
	for _, r := range all {
		if r.Status == store.Running {
			v.Running++
		}
		holds := condition.Match(func(name string) []any {
			values := r.values(name, series)
			met[name] = met[name] || len(values) > 0
			return values
		})
		switch {
		case !holds:
		case len(v.Rows) == indexRows:
			v.Left++
		default:
			v.Rows = append(v.Rows, newIndexRow(r))
		}
	}
	if v.Problem == "" && len(all) > 0 {
		v.Problem = unknown(condition.Names(), met, all)
	}
	body, err := new(builder).render("index", v)
	return Page{Title: "Runs", Body: body}.inert(), err
}

// loadHeads reads all runs, newest first, with what a list tells of them.
func loadHeads(st *store.Store) ([]*run, error) {
	heads, err := st.Runs(0)
	if err != nil {
		return nil, fmt.Errorf("reports: %w", err)
	}
	ids := make([]string, len(heads))
	for i, h := range heads {
		ids[i] = h.ID
	}
	uses, err := st.UsesOf(ids)
	if err != nil {
		return nil, fmt.Errorf("reports: %w", err)
	}
	events, err := st.EventsOf(ids, event.Compare)
	if err != nil {
		return nil, fmt.Errorf("reports: %w", err)
	}
	all := make([]*run, len(heads))
	for i, h := range heads {
		all[i] = &run{Run: h, Events: events[h.ID]}
		if all[i].Settings, err = settings(h.Params); err != nil {
			return nil, fmt.Errorf("reports: run %s: params: %w", h.ID, err)
		}
		all[i].setUses(uses[h.ID])
	}
	return all, nil
}

func newIndexRow(r *run) indexRow {
	row := indexRow{boardRow: newBoardRow(r), Begun: r.Started.UTC().Format("2006-01-02 15:04"), Took: r.took(), Tags: r.Tags}
	var changed []string
	for _, s := range r.Settings {
		if s.Changed {
			changed = append(changed, s.Name+"="+clip(s.Value, 24))
		}
	}
	row.Changed = clip(strings.Join(changed, " "), 120)
	return row
}

// took returns the seconds that the run took, 0 without an end.
func (r *run) took() float64 {
	if r.Ended.IsZero() {
		return 0
	}
	return r.Ended.Sub(r.Started).Seconds()
}
