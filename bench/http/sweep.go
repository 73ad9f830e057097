package http

import (
	"fmt"
	"image"
	"strconv"
	"strings"
)

// ParseConcurrency reads numbers of clients: a list such as 1,2,4, or
// START:END:STEP as perf_analyzer has it.
func ParseConcurrency(s string) (levels []Level, err error) {
	values, err := parseRange(s, func(s string) (float64, bool) {
		n, err := strconv.Atoi(s)
		return float64(n), err == nil && n >= 1 && n <= 1<<16
	})
	if err != nil {
		return nil, fmt.Errorf("must be numbers of clients such as 1,8,64, or START:END:STEP")
	}
	for _, v := range values {
		levels = append(levels, Level{Concurrency: int(v)})
	}
	return levels, nil
}

// ParseRates reads requests a second: a list such as 100,200, START:END:STEP, or
// shares of what the server can do such as 50%,200%.
func ParseRates(s string) (levels []Level, err error) {
	share := strings.HasSuffix(s, "%")
	values, err := parseRange(s, func(s string) (float64, bool) {
		number, percent := strings.CutSuffix(s, "%")
		v, err := strconv.ParseFloat(number, 64)
		return v, err == nil && v > 0 && v <= 1e7 && percent == share
	})
	if err != nil {
		return nil, fmt.Errorf("must be requests a second such as 100,200 or START:END:STEP, or shares of the server's capacity such as 50%%,200%%")
	}
	for _, v := range values {
		if share {
			levels = append(levels, Level{OfCapacity: v / 100})
		} else {
			levels = append(levels, Level{Rate: v})
		}
	}
	return levels, nil
}

// mostLevels bounds a sweep.
const mostLevels = 1000

func parseRange(s string, parse func(string) (float64, bool)) (values []float64, err error) {
	fields, isRange := strings.Split(s, ","), strings.Contains(s, ":")
	if isRange {
		fields = strings.Split(s, ":")
	}
	for _, field := range fields {
		v, ok := parse(strings.TrimSpace(field))
		if !ok {
			return nil, fmt.Errorf("%q", field)
		}
		values = append(values, v)
	}
	if !isRange {
		return values, nil
	}
	if len(values) == 2 {
		values = append(values, 1)
	}
	const rounding = 1e-6 // of decimal fractions: (0.3 - 0.1) / 0.1 is below 2
	if len(values) != 3 || values[1] < values[0] || (values[1]-values[0])/values[2] > mostLevels {
		return nil, fmt.Errorf("%q", s)
	}
	start, end, step := values[0], values[1], values[2]
	values = nil
	for i := range int((end-start)/step+rounding) + 1 {
		values = append(values, min(start+float64(i)*step, end))
	}
	return values, nil
}

// A Size is of photographs, with how often they are sent beside others.
type Size struct {
	image.Point
	Weight float64
}

// ParseSizes reads sizes such as 640x480 or 640x480:3,4000x3000:1.
func ParseSizes(s string) (sizes []Size, err error) {
	for field := range strings.SplitSeq(s, ",") {
		size := Size{Weight: 1}
		pixels, weight, weighted := strings.Cut(strings.TrimSpace(field), ":")
		width, height, ok := strings.Cut(pixels, "x")
		var errs [3]error
		size.X, errs[0] = strconv.Atoi(width)
		size.Y, errs[1] = strconv.Atoi(height)
		if weighted {
			size.Weight, errs[2] = strconv.ParseFloat(weight, 64)
		}
		if !ok || errs != [3]error{} || size.X < 1 || size.Y < 1 || size.X > 1<<14 || size.Y > 1<<14 || !(size.Weight > 0 && size.Weight < 1e9) {
			return nil, fmt.Errorf("must be sizes such as 640x480, or with weights 640x480:3,4000x3000:1")
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

// Photographs makes some of each size, which share its weight.
func Photographs(sizes []Size) ([]Image, error) {
	const each = 4
	var list []Image
	for _, size := range sizes {
		for seed := range uint64(each) {
			photo, err := Photograph(size.Point, seed+1)
			if err != nil {
				return nil, err
			}
			photo.Weight = size.Weight / each
			list = append(list, photo)
		}
	}
	return list, nil
}
