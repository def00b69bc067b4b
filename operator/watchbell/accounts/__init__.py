"""Account mail: links and codes that let somebody into an account again."""
