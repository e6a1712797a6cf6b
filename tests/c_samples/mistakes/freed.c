/* Reads what it has freed. */
#include <stdlib.h>

int main(void)
{
	volatile char *bytes = calloc(8, 1);

	free((void *)bytes);
	return bytes[0];
}
