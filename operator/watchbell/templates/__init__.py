"""EmailTemplates under watch: tried as soon as they are written, rendered for whoever sends a mail in a user's words."""
