package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// nb is a space that neither breaks nor is wide: between a number and its unit.
const nb = "\u202f"

// count writes a whole number with commas: 12,345.
func count(n int64) string {
	if n < 0 {
		return "−" + count(-n)
	}
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// number writes a figure with four significant digits at most: 0.4127, 12,345, 3×10⁻⁶.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "not a number"
	case math.IsInf(v, 0):
		return strings.Replace(fmt.Sprintf("%+d∞", int(math.Copysign(1, v))), "1", "", 1)
	case v == math.Trunc(v) && a < 1e15:
		return count(int64(v))
	case a < 1e-4 || a >= 1e15:
		return power(v, 4)
	case a >= 1e4:
		return count(int64(math.Round(v)))
	}
	s := strconv.FormatFloat(v, 'g', 4, 64)
	return strings.Replace(s, "-", "−", 1)
}

// power writes v in scientific notation with as many significant digits as digits.
func power(v float64, digits int) string {
	mant, exp, _ := strings.Cut(strconv.FormatFloat(v, 'e', digits-1, 64), "e")
	if strings.Contains(mant, ".") {
		mant = strings.TrimRight(strings.TrimRight(mant, "0"), ".")
	}
	n, _ := strconv.Atoi(exp) // FormatFloat wrote it
	sup := strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴",
		"5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹").Replace(strconv.Itoa(n))
	return strings.Replace(mant, "-", "−", 1) + "×10" + sup
}

// pvalue writes p as "= 0.031", "= 3×10⁻⁴¹" or "< 10⁻³⁰⁰".
func pvalue(p float64) string {
	switch {
	case math.IsNaN(p) || p < 0 || p > 1:
		return "unknown"
	case p < 1e-300:
		return "< 10⁻³⁰⁰"
	case p < 1e-3:
		return "= " + power(p, 1)
	}
	return "= " + strconv.FormatFloat(p, 'g', 2, 64)
}

// percent writes a fraction of 1 with one decimal: 87.4 %.
func percent(v float64) string { return rate(v) + nb + "%" }

// rate writes a fraction of 1 in percent, without the sign: 87.4.
func rate(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return strings.Replace(strconv.FormatFloat(100*v, 'f', 1, 64), "-", "−", 1)
}

// points writes a difference of rates: +21.7 points.
func points(v float64) string {
	sign := ""
	if 100*v >= 0.05 {
		sign = "+"
	}
	return sign + rate(v) + " points"
}

// seconds writes a stretch of time with two units at most: 3.2 s, 1 min 45 s, 41 min, 2 h 05 min.
func seconds(s float64) string {
	switch {
	case math.IsNaN(s) || s < 0:
		return "–"
	case s < 0.0995:
		return strconv.Itoa(int(math.Round(s*1000))) + nb + "ms"
	case s < 59.95:
		return strconv.FormatFloat(s, 'f', 1, 64) + nb + "s"
	case s < 599.5:
		n := int(math.Round(s))
		return fmt.Sprintf("%d%smin%s%02d%ss", n/60, nb, nb, n%60, nb)
	case s < 3570:
		return strconv.Itoa(int(math.Round(s/60))) + nb + "min"
	case s < 100*3600:
		m := int(math.Round(s / 60))
		return fmt.Sprintf("%d%sh%s%02d%smin", m/60, nb, nb, m%60, nb)
	}
	return count(int64(math.Round(s/3600))) + nb + "h"
}

// dollars writes an amount of money: $3.20, $1,234, $0.0042.
func dollars(v float64) string {
	switch {
	case v == 0:
		return "$0"
	case math.Abs(v) < 0.01:
		return "$" + strconv.FormatFloat(v, 'g', 2, 64)
	case math.Abs(v) < 1000:
		return "$" + strconv.FormatFloat(v, 'f', 2, 64)
	}
	return "$" + count(int64(math.Round(v)))
}

// bytesize writes a number of bytes: 1.4 MiB.
func bytesize(n int64) string {
	v, units := float64(n), []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	for i, u := range units {
		if v < 1024 || i == len(units)-1 {
			if i == 0 {
				return count(n) + nb + u
			}
			return strconv.FormatFloat(v, 'f', 1, 64) + nb + u
		}
		v /= 1024
	}
	return ""
}

// plural writes n things: 1 row, 500 rows.
func plural(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if strings.HasSuffix(one, "h") || strings.HasSuffix(one, "s") {
		return count(n) + " " + one + "es"
	}
	return count(n) + " " + one + "s"
}

// capital begins a title with s: a word with a capital letter, the name of a fact as it is.
func capital(s string) string {
	if strings.Contains(s, ".") {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
