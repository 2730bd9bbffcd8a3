"""One command on very many videos: any number of processes, on any number of machines, over one folder."""
