module starbook

go 1.26
