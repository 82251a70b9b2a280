// Package devdb finds or starts the PostgreSQL that `kindred dev` and the tests run on.
//
// Two kinds of server come from here. [Start] gives the one that a developer keeps: durable, with a
// password, bound to one project folder, its state in .kindred/ there. [StartThrowaway] gives one
// that lives as long as the calling process and forgets everything.
//
// Whatever this package starts ends with the process that started it. On Linux the kernel sees to
// that even after SIGKILL; elsewhere the next start finds what was left over and ends it. It never
// touches a database that it did not make, except an empty one that it was handed and has marked.
package devdb
