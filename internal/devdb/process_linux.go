package devdb

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// endWithParent has the kernel send the signal when the thread that forks has ended, however it ended.
func endWithParent(attr *syscall.SysProcAttr, s syscall.Signal) { attr.Pdeathsig = s }

// commandLine returns the arguments of a running process, or nil when there is none of that number.
func commandLine(pid int) []string {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return nil
	}
	var args []string
	for arg := range bytes.SplitSeq(bytes.TrimSuffix(raw, []byte{0}), []byte{0}) {
		args = append(args, string(arg))
	}
	return args
}
