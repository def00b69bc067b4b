"""Who need not hear of what, and until when."""
