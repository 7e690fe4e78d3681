"""The checks of `vclr doctor`: whether Python, torch and the machine are fit for vclr, and how to fix what is not."""
