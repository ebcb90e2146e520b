package cpu

// spare is memory that Room does not promise: packed panels and the threads'
// work space, and what the program takes beside tensors.
const spare = 256 << 20

// Room returns what Options.Memory leaves, or else what the system says is
// free; 0 where it says nothing.
func (d *device) Room() int {
	room := d.memory - d.use.Now
	if d.memory == 0 {
		if room = available(); room == 0 {
			return 0
		}
	}
	return max(1, room-spare) // 0 would mean that it is not known
}
