//! Words of odyssey.conf and odyssey.yaml into checked values, with file, line and column.
