// Package nvml is NVIDIA's management library as a cuda.Monitor, found at run time by Open.
//
// The library's functions stay undefined in the program until it is loaded. Only functions are called that every driver
// since 450 has: one that is missing would end the process.
package nvml
