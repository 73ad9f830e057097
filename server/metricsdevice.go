package server

import "github.com/prometheus/client_golang/prometheus"

// A deviceCollector asks an engine for its devices whenever metrics are read.
type deviceCollector struct{ engine Engine }

// Of a device; gpu_uuid is its id where it has no UUID, as the CPU.
var (
	deviceMemory = prometheus.NewDesc("vith_device_memory_bytes", "Memory of a device by owner.", []string{"gpu_uuid", "kind"}, nil)
	deviceUp     = prometheus.NewDesc("vith_device_up", "1 while a device works.", []string{"gpu_uuid"}, nil)
)

// The names and meanings of Triton, so that its dashboards work. Only GPUs have
// them.
var (
	nvUtilization = nvDesc("nv_gpu_utilization", "GPU utilization rate [0.0 - 1.0]")
	nvMemoryUsed  = nvDesc("nv_gpu_memory_used_bytes", "GPU used memory, in bytes")
	nvMemoryTotal = nvDesc("nv_gpu_memory_total_bytes", "GPU total memory, in bytes")
	nvPowerUsage  = nvDesc("nv_gpu_power_usage", "GPU power usage in watts")
	nvPowerLimit  = nvDesc("nv_gpu_power_limit", "GPU power management limit in watts")
	nvEnergy      = nvDesc("nv_energy_consumption", "GPU energy consumption in joules since the driver was loaded")
)

func nvDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"gpu_uuid"}, nil)
}

// Describe sends the descriptions of all device metrics.
func (c *deviceCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		deviceMemory, deviceUp, nvUtilization, nvMemoryUsed, nvMemoryTotal, nvPowerUsage, nvPowerLimit, nvEnergy,
	} {
		ch <- d
	}
}

// Collect sends the metrics of each device as it is now.
func (c *deviceCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
	}
	for _, d := range c.engine.Devices() {
		id, m := d.UUID, d.Memory
		if id == "" {
			id = d.ID
		}
		up := 0.0
		if d.State == DeviceOK {
			up = 1
		}
		gauge(deviceUp, up, id)
		for kind, bytes := range map[string]int64{
			"weights": m.Weights, "arena": m.Arena, "workspace": m.Workspace, "context": m.Context, "other": m.Other, "free": m.Free,
		} {
			gauge(deviceMemory, float64(bytes), id, kind)
		}
		if d.UUID == "" {
			continue
		}
		gauge(nvUtilization, d.Load, id)
		gauge(nvMemoryUsed, float64(m.Total-m.Free), id)
		gauge(nvMemoryTotal, float64(m.Total), id)
		if p := d.Power.Watts; p > 0 {
			gauge(nvPowerUsage, p, id)
		}
		if p := d.Power.LimitWatts; p > 0 {
			gauge(nvPowerLimit, p, id)
		}
		if e := d.Power.EnergyJoules; e > 0 {
			ch <- prometheus.MustNewConstMetric(nvEnergy, prometheus.CounterValue, e, id)
		}
	}
}
