"""One launcher per kind of cluster; `raybayes.launch.registry` picks the one of a cluster file."""
