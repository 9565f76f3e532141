"""The process that serves a cluster's dashboard, as its owner sees it: started, found again, opened by a command."""
