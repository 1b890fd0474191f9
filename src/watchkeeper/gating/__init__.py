"""Rules of the gate: what a target's answer is as a trace, how two runs compare, what may be said of it."""
