"""Statistics under unequal sampling: arrays in, frozen results out; numpy and scipy only.

Every estimate is weighted by recorded inclusion probabilities and carries an interval and an effective sample size.
Nothing here reads a clock, draws a random number without a seed, or does I/O.
"""
