package store

// RotateStatement lets a test look at its plan.
const RotateStatement = rotateStatement
