#ifndef STARBOOK_LOAD_H
#define STARBOOK_LOAD_H
// What cuInit said, -1 without a library. The first call opens the driver.
int driver_status(void);
const char *driver_why(void);                    // in words, if the status is not 0
const char *driver_path(void);                   // of the library
int driver_missing(const char *const **names);   // entry points that it lacks
#endif
