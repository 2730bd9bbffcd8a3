"""From a data set as it is published to the lists that training reads, every video looked at once."""
