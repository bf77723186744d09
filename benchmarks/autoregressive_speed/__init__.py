"""What the roll-outs of cost-sensitive training cost, beside plain loops, copied memory, and sacrebleu."""
