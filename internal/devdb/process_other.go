//go:build !linux

package devdb

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// endWithParent does nothing: only Linux can do it. The next start ends what was left over.
func endWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// commandLine returns the arguments of a running process, or nil when there is none of that number.
// An argument with a space in it comes in pieces.
func commandLine(pid int) []string {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
}
