package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// report makes the page of a folder's results: for each file of lines of JSON, its tables in the order of their first
// rows.
func report(folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
	if err != nil {
		return err
	}
	var page strings.Builder
	fmt.Fprintf(&page, "# vith on a GPU: %s\n", filepath.Base(folder))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		tables, err := parse(text)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fmt.Fprintf(&page, "\n## %s\n", strings.TrimSuffix(filepath.Base(file), ".jsonl"))
		for _, t := range tables {
			t.write(&page)
		}
	}
	return os.WriteFile(filepath.Join(folder, "report.md"), []byte(page.String()), 0o666)
}

// A table is rows of named values; names are in the order of their first occurrence.
type table struct {
	name    string
	columns []string
	rows    []map[string]string
}

func parse(text []byte) (tables []*table, err error) {
	for line := range bytes.Lines(text) {
		var named struct {
			Table string `json:"table"`
		}
		if err := json.Unmarshal(line, &named); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		i := slices.IndexFunc(tables, func(t *table) bool { return t.name == named.Table })
		if i < 0 {
			i = len(tables)
			tables = append(tables, &table{name: named.Table})
		}
		if err := tables[i].add(line); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	return tables, nil
}

// add adds an object of plain values, whose order a map would lose.
func (t *table) add(line []byte) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return err
	}
	row := map[string]string{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		value, err := d.Token()
		if err != nil {
			return err
		}
		if key == "table" {
			continue
		}
		name := key.(string) // as a key is
		row[name] = cell(value)
		if !slices.Contains(t.columns, name) {
			t.columns = append(t.columns, name)
		}
	}
	t.rows = append(t.rows, row)
	return nil
}

// cell is a value in Markdown, a fraction with four digits.
func cell(value json.Token) string {
	if n, ok := value.(json.Number); ok && strings.ContainsAny(n.String(), ".eE") {
		if x, err := n.Float64(); err == nil {
			return fmt.Sprintf("%.4g", x)
		}
	}
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(fmt.Sprint(value))
}

func (t *table) write(page *strings.Builder) {
	fmt.Fprintf(page, "\n### %s\n\n| %s |\n|%s\n", t.name, strings.Join(t.columns, " | "), strings.Repeat(" --- |", len(t.columns)))
	for _, row := range t.rows {
		page.WriteByte('|')
		for _, c := range t.columns {
			fmt.Fprintf(page, " %s |", row[c])
		}
		page.WriteByte('\n')
	}
}
