"""What is on disk -> what is in memory, proved to be what it says it is."""
