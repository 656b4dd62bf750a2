"""Raw files of any size: found in a folder or zip, read in batches, kept column by column."""
