"""From the object that a user wrote to the bytes of a mail: checks, files, words, recipients."""
